"""`python -m fer_lightning.datasets`: see `fer_lightning.catalogue`."""

import sys

from fer_lightning.catalogue import main

sys.exit(main())
