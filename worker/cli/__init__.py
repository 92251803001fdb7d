"""What people and programs run: the commands, and the daemon."""

import warnings

# oslo.messaging brings in oslo.service, which imports eventlet where that is installed and is then told off for it;
# nothing here uses it, and an operator can do nothing about it. It must stand before the first of these imports.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
