"""Everything around Lightning's Trainer."""
