//! The seam every hypervisor stands behind: traits, connection, jobs, events; no wire, no hypervisor.
