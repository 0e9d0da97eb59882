-- Reports whether the server has a database of the platform.
SELECT EXISTS (SELECT FROM pg_database WHERE pg_get_userbyid(datdba) = 'pipeline_owner')
