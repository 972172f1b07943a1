"""Take the times of a row, and read what its programs and the device do."""
