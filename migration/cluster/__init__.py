"""The failover cluster around a move: who may move where, who decides, and what happens when something breaks."""
