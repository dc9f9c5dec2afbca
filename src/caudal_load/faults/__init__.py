"""`caudal-load faults`: a mixed workload while everything around it fails, and the proof that nothing was lost."""
