"""One HTML page of many runs: gathered from their files, readable without network, server or account."""
