"""Every attack that there is. A new one is a function in one of the modules, with `@attack` above it."""
import attacks_access
import attacks_content
import attacks_http1
import attacks_http2
import attacks_load
import attacks_tls
from attack import ALL, Target

__all__ = ["ALL", "Target"]
