"""An application with every shape of model that rows are named for."""
