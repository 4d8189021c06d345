"""An agent that is deployed: found in its workspace, and asked as whoever is logged in here."""
