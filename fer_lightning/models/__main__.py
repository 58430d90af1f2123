"""`python -m fer_lightning.models`: see `fer_lightning.model_table`."""

import sys

from fer_lightning.model_table import main

sys.exit(main())
