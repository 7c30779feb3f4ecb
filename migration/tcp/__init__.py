"""TCP endpoints in virtual time: the state machine, its timers, stacks by name, scripts."""
