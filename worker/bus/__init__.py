"""The message bus: oslo.messaging's wire format over kombu and the in-process fake."""
