"""How the quickstart's files were made: scripts to read and to run again. Nothing at training time imports them."""
