"""What the rooms below the service promise: protocols, each method documented by its failures."""
