"""Jobs: what was asked for, who does which part of it, and what has become of it."""
