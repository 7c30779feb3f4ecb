"""The physical adapter: receive filters and VM queues."""
