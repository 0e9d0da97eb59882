"""Fixtures live in fix_*.py, by what they stand in for."""

pytest_plugins = [
    "pipeline_project_tests.fix_postgres",
    "pipeline_project_tests.fix_aws",
    "pipeline_project_tests.fix_api",
    "pipeline_project_tests.fix_dagster",
    "pipeline_project_tests.fix_live_api",
    "pipeline_project_tests.fix_orchestration",
    "pipeline_project_tests.fix_warm_workers",
]
