"""Networks, and the LightningModules that train them. They do not depend on folders, tasks or figures."""
