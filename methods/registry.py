"""The registry of methods: every file of this room, and every installed plug-in."""

from methods.contract import Method
from finegrid.records.registry import Registry

METHODS: Registry[Method] = Registry("method", Method, "methods")
register = METHODS.register
