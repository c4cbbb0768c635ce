"""Poses in videos: frames with their times, tracks, filters and smoothers on SO(3)."""
