"""Floor 2: networks and the LightningModules that train them; they know no folder, no task and no figure."""
