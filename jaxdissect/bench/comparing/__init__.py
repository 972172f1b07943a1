"""Tell what became slower between two runs, beyond what the noise explains."""
