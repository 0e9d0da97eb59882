"""What starts runs, and the jobs that are no assets: sensors, schedules, the analytics job, housekeeping."""

__all__ = ["analytics_job", "housekeeping", "landing_sensors", "run_sensors", "schedules"]
