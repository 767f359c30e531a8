from .logger import Logger, open_logger

__all__ = ["Logger", "open_logger"]
