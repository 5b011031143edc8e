"""From hostile bytes to frames: capped, turned upright, composited on white, killable."""

from models.media.types import DecodedFrame, Frame, Media, MediaLimits

__all__ = ["DecodedFrame", "Frame", "Media", "MediaLimits"]
