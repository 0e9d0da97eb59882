"""What a person's SQL may be made of: relations, parse tree nodes and their fields, operators, types and functions. Data for
guard.py. Lists of what is allowed and never of what is not: whatever PostgreSQL learns next is refused until it is listed.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCHEMA = "analytics"

# The views and their columns.
RELATIONS = {
    "data_version": _words("data_version changed_at"),
    "entities": _words("""
        canonical_id source source_id entity_type name status industry region country customer_tier revenue employees
        lifetime_value total_spent total_orders attributes metadata quality_score version source_updated_at created_at
        updated_at
    """),
    "entity_relationships": _words("""
        parent_canonical_id child_canonical_id relationship_type valid_from valid_to source attributes
    """),
    "entity_versions": _words("""
        canonical_id source version deleted entity_type name status industry region country customer_tier revenue
        employees lifetime_value total_spent total_orders attributes valid_from valid_to recorded_at
    """),
    "objects": _words("""
        object_id key source dataset state size records inserted updated unchanged stale rejected deleted discovered_at
        started_at finished_at
    """),
    "reject_counts": _words("source dataset status rejects latest"),
    "schema_version": _words("schema_version"),
    "time_series_data": _words("canonical_id metric_type metric_date value quality tags source"),
}

# Those that change only with a load or a migration.
LASTING_RELATIONS = RELATIONS.keys() - {"objects", "reject_counts"}

# Nodes of PostgreSQL's parse tree, as libpg_query names them.
NODES = _words("""
    A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star BooleanTest BoolExpr CaseExpr CaseWhen
    CoalesceExpr ColumnRef CommonTableExpr FuncCall GroupingFunc GroupingSet Integer JoinExpr JsonIsPredicate
    List MinMaxExpr NamedArgExpr NullTest ParamRef RangeFunction RangeSubselect RangeVar ResTarget RowExpr
    SelectStmt SortBy SQLValueFunction String SubLink TypeCast WindowDef
""")

# Fields of those nodes. What is not here is refused with the node around it: intoClause, lockingClause, setof, pct_type,
# catalogname, coldeflist, collClause, …
FIELDS = _words("""
    agg_distinct agg_filter agg_order agg_star agg_within_group alias aliascolnames aliasname all arg
    argnumber args arrayBounds boolop booltesttype boolval bsval colnames content ctematerialized ctename
    ctequery ctes defresult distinctClause elements encoding endOffset expr fields format format_type
    frameOptions fromClause func_variadic funcformat funcname functions fval groupClause groupDistinct
    havingClause indirection inh is_rowsfrom is_slice isNatural isnull item_type items ival jointype kind larg
    lateral lexpr lidx limitCount limitOffset limitOption list_end list_start location name names node
    nulltesttype number op operName orderClause ordinality over partitionClause quals rarg recursive refname
    relname relpersistence result rexpr rexpr_list_end rexpr_list_start row_format schemaname sortby_dir
    sortby_nulls sortClause startOffset subLinkType subquery subselect sval targetList testexpr typemod
    typeName typmod typmods uidx unique_keys useOp usingClause val valuesLists whereClause windowClause
    withClause
""")

OPERATORS = _words("""
    = <> != < > <= >= + - * / % ^ | & # << >> ~ |/ @ || ~~ !~~ ~~* !~~* ~* !~ !~* -> ->> #> #>> @> <@ ? ?| ?& @? &&
    BETWEEN
""") | {"NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"}

# Types that hold values. Not here: regclass and its kin, which look into the catalog; name, oid, xml, bytea.
TYPES = _words("""
    bool bpchar date float4 float8 int2 int4 int8 interval json jsonb numeric text time timestamp
    timestamptz timetz uuid varchar
""")

AGGREGATES = _words("""
    any_value array_agg avg bit_and bit_or bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank
    every first_value json_agg json_object_agg jsonb_agg jsonb_object_agg lag last_value lead max min mode
    nth_value ntile percent_rank percentile_cont percentile_disc rank regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp
    string_agg sum var_pop var_samp variance
""")

NUMBERS = _words("""
    abs acos asin atan atan2 cbrt ceil ceiling cos degrees div exp factorial floor gcd lcm ln log
    log10 mod pi power radians random round scale sign sin sqrt tan trim_scale trunc width_bucket
""")

TEXTS = _words("""
    ascii bit_length btrim char_length character_length chr concat concat_ws initcap left length like_escape
    lower ltrim md5 normalize octet_length overlay position regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr replace reverse
    right rtrim similar_to_escape split_part starts_with string_to_array string_to_table strpos substr substring
    to_char to_number translate upper
""")

TIMES = _words("""
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now
    overlaps statement_timestamp timezone to_date to_timestamp transaction_timestamp
""")

COLLECTIONS = _words("""
    array_append array_cat array_length array_lower array_ndims array_position array_positions array_prepend
    array_remove array_replace array_to_string array_upper cardinality generate_series generate_subscripts
    json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each
    json_each_text json_extract_path json_extract_path_text json_object_keys json_typeof jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_exists jsonb_extract_path jsonb_extract_path_text jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_set jsonb_strip_nulls jsonb_typeof num_nonnulls num_nulls
    row_to_json to_json to_jsonb unnest
""")

LIKENESS = _words("""
    show_trgm similarity word_similarity
""")

# Functions of several rows in FROM, by the names of their columns: those with a column of values without a name, and those
# that name theirs. Not here: unnest, which gives the columns of what it is given.
SETS_OF_VALUES = _words("""
    generate_series generate_subscripts json_object_keys jsonb_object_keys jsonb_path_query regexp_matches
    regexp_split_to_table string_to_table
""")
FUNCTION_COLUMNS = {
    **dict.fromkeys(("json_each", "json_each_text", "jsonb_each", "jsonb_each_text"), _words("key value")),
    **dict.fromkeys(("json_array_elements", "json_array_elements_text"), _words("value")),
    **dict.fromkeys(("jsonb_array_elements", "jsonb_array_elements_text"), _words("value")),
}

# What depends on chance or on the clock. A time of day with a zone does: when summer begins, its offset changes.
FLEETING_FUNCTIONS = _words("age clock_timestamp make_time now random statement_timestamp transaction_timestamp")
FLEETING_TYPES = _words("time timetz")

# Not here although harmless in small numbers: repeat, lpad, rpad and format, which make a gigabyte out of ten letters at once.
# What makes one step by step (|| in a recursion, replace within replace, string_agg) cannot be told from what analysts do. Memory
# is not bounded here but by local/postgres.py, and on a managed server by nothing (docs/operations-runbook.md).
FUNCTIONS = AGGREGATES | NUMBERS | TEXTS | TIMES | COLLECTIONS | LIKENESS

# SQL's functions without parentheses. Not here: those that tell who or where the session is.
CURRENT = _words("""
    SVFOP_CURRENT_DATE SVFOP_CURRENT_TIME SVFOP_CURRENT_TIMESTAMP SVFOP_CURRENT_TIMESTAMP_N SVFOP_CURRENT_TIME_N
    SVFOP_LOCALTIME SVFOP_LOCALTIMESTAMP SVFOP_LOCALTIMESTAMP_N SVFOP_LOCALTIME_N
""")
