"""Live migration of VMs (not built yet; its README says what is coming)."""
