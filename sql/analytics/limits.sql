-- What a query may take, and the role that it runs as (`none`: the login itself), for this transaction only, and the versions that its snapshot shows. `transaction_timeout` ends the
-- session where a client fetches slowly for ever, since `statement_timeout` starts anew with every fetch; what a client has asked
-- for that is dead meanwhile ends within seconds, too (`client_connection_check_interval`). 64 MB of work memory let the
-- aggregations stay off the disk. Without nested loops goes the operation whose sizes the planner does not know; nor does it know
-- what regular expressions cost, and would keep them on one core for the sake of what handing rows over costs. The guard's parser
-- knows standard_conforming_strings only as on.
SELECT set_config('role', %(role)s::text, true),
       set_config('statement_timeout', %(statement_ms)s::text, true),
       set_config('transaction_timeout', %(transaction_ms)s::text, true),
       set_config('lock_timeout', %(lock_ms)s::text, true),
       set_config('client_connection_check_interval', '2s', true),
       set_config('TimeZone', 'UTC', true),
       set_config('search_path', %(search_path)s::text, true),
       set_config('work_mem', '64MB', true),
       set_config('enable_nestloop', %(nested_loops)s::text, true),
       set_config('parallel_tuple_cost', CASE %(nested_loops)s::text
           WHEN 'off' THEN '0.001' ELSE current_setting('parallel_tuple_cost') END, true),
       set_config('standard_conforming_strings', 'on', true),
       (SELECT data_version FROM analytics.data_version),
       (SELECT schema_version FROM analytics.schema_version)
