"""The browser console for operators; built later."""
