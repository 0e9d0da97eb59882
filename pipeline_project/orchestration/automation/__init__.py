"""Sensors and schedules that start runs, and the jobs without assets: the analytics job and housekeeping."""

__all__ = ["analytics_job", "housekeeping", "landing_sensors", "run_sensors", "schedules"]
