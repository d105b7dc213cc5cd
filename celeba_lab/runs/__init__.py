"""What a run is on disk, written and read in one place."""
