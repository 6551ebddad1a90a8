"""How fast is it, compared with what else there is: `script/bench SUITE`."""
