"""What the catalog holds, where it can be searched: in memory and in files, kept level with the log."""
