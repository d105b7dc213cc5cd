"""Networks and the LightningModules that train them, independent of run folders, tasks and figures."""
