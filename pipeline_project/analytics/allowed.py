"""What a person's SQL may be made of: relations, parse tree nodes and their fields, operators, types and functions. Data for
guard.py. Lists of what is allowed and never of what is not: whatever PostgreSQL learns next is refused until it is listed.
"""

from pipeline_project.canonical.relations import analytics_views
from pipeline_project.datasets.registry import datasets


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCHEMA = "analytics"

# The views and their columns, from the declaration of the datasets.
RELATIONS = {
    name: frozenset(column.name for column in view.columns)
    for name, view in analytics_views(datasets().values()).items()
}

# Those that change only with a load or a migration.
LASTING_RELATIONS = RELATIONS.keys() - {"objects", "object_columns", "reject_counts", "snapshots"}

# Nodes of PostgreSQL's parse tree, as libpg_query names them.
NODES = _words("""
    A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star BooleanTest BoolExpr CaseExpr CaseWhen
    CoalesceExpr CollateClause ColumnDef ColumnRef CommonTableExpr FuncCall GroupingFunc GroupingSet Integer
    JoinExpr JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor JsonFuncExpr
    JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonParseExpr JsonScalarExpr
    JsonSerializeExpr JsonTable JsonTableColumn JsonValueExpr List MinMaxExpr NamedArgExpr NullTest ParamRef
    RangeFunction RangeSubselect RangeVar ResTarget RowExpr SelectStmt SortBy SQLValueFunction String SubLink
    TypeCast WindowDef
""")

# Fields of those nodes. A field that is not listed is refused with its node: intoClause, lockingClause, setof, pct_type,
# catalogname, …
FIELDS = _words("""
    absent_on_null agg_distinct agg_filter agg_order agg_star agg_within_group alias aliascolnames aliasname all
    arg argnumber args arrayBounds boolop booltesttype boolval bsval btype coldeflist collClause collname colname
    colnames coltype columns constructor content context_item ctematerialized ctename ctequery ctes cycle_clause
    cycle_col_list cycle_mark_column cycle_mark_default cycle_mark_value cycle_path_column defresult
    distinctClause elements encoding endOffset expr exprs fields format format_type frameOptions fromClause
    func_variadic funcformat funcname functions fval groupClause groupDistinct havingClause indirection inh
    is_local is_rowsfrom is_slice isNatural isnull item_type items ival join_using_alias jointype key kind larg
    lateral lexpr lidx limitCount limitOffset limitOption list_end list_start location name name_location names
    node nulltesttype number on_empty on_error op operName orderClause ordinality output over partitionClause
    passing pathspec quals query quotes rarg raw_expr recursive refname relname relpersistence result returning
    rexpr rexpr_list_end rexpr_list_start row_format schemaname search_breadth_first search_clause
    search_col_list search_seq_column sortby_dir sortby_nulls sortClause startOffset string subLinkType subquery
    subselect sval targetList testexpr typemod typeName typmod typmods uidx unique unique_keys useOp usingClause
    val value valuesLists whereClause windowClause withClause wrapper
""")

OPERATORS = _words("""
    = <> != < > <= >= + - * / % ^ | & # << >> ~ |/ ||/ @ || ~~ !~~ ~~* !~~* ~* !~* !~ ^@ -> ->> #> #>> #- @> <@ ? ?| ?&
    @? @@ && &< &> -|- <-> !! <% %> <<% %>> <<-> <->> <<<-> <->>> BETWEEN
""") | {"NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"}

# Without multiranges: 100,000 ranges as a text take more than 300 MB.
RANGE_TYPES = _words("daterange int4range int8range numrange tsrange tstzrange")

# Types that hold values. Types that look into the catalog are not listed (regclass and its kin), nor are name, oid and xml.
TYPES = RANGE_TYPES | _words("""
    bit bool bpchar bytea date float4 float8 int2 int4 int8 interval json jsonb jsonpath numeric text time timestamp
    timestamptz timetz tsquery tsvector uuid varbit varchar
""")

# Collations that each PostgreSQL has, whatever the machine's libraries are.
COLLATIONS = _words("C POSIX default pg_c_utf8 pg_unicode_fast ucs_basic")

AGGREGATES = _words("""
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank
    every first_value json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique
    json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_object_agg_unique_strict lag last_value lead max min mode nth_value ntile percent_rank
    percentile_cont percentile_disc range_intersect_agg rank regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance
""")

NUMBERS = _words("""
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
    div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi power radians random
    random_normal round scale sign sin sind sinh sqrt tan tand tanh to_bin to_hex to_oct trim_scale trunc width_bucket
""")

TEXTS = _words("""
    ascii bit_length btrim casefold char_length character_length chr concat concat_ws format initcap is_normalized left
    length like_escape lower lpad ltrim md5 normalize octet_length overlay position regexp_count regexp_instr
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
    repeat replace reverse right rpad rtrim similar_to_escape split_part starts_with string_to_array string_to_table
    strpos substr substring to_char to_number translate unicode_assigned unistr upper
""")

BYTES = _words("""
    bit_count convert_from convert_to crc32 crc32c decode encode get_bit get_byte set_bit set_byte sha224 sha256 sha384
    sha512
""")

TIMES = _words("""
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now
    overlaps statement_timestamp timezone to_date to_timestamp transaction_timestamp
""")

IDENTIFIERS = _words("gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7")

COLLECTIONS = _words("""
    array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend
    array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_json array_to_string
    array_upper cardinality generate_series generate_subscripts json_array_elements json_array_elements_text
    json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
    json_extract_path_text json_object json_object_keys json_strip_nulls json_to_record json_to_recordset json_typeof
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
    jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text
    jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match
    jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first
    jsonb_path_query_first_tz jsonb_path_query_tz jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof num_nonnulls num_nulls row_to_json to_json to_jsonb trim_array unnest
""")

RANGES = RANGE_TYPES | _words("isempty lower_inc lower_inf range_merge upper_inc upper_inf")

# Text search without the functions that take SQL in a text: ts_stat, ts_rewrite.
SEARCH = _words("""
    array_to_tsvector json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight
    strip to_tsquery to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
    websearch_to_tsquery
""")

LIKENESS = _words("""
    show_trgm similarity strict_word_similarity word_similarity
""")

# Functions in FROM, by the names of their columns: those with a column of values without a name, and those that name their
# columns. unnest is in neither, since it gives the columns of its argument.
SETS_OF_VALUES = _words("""
    generate_series generate_subscripts json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz
    phraseto_tsquery plainto_tsquery regexp_matches regexp_split_to_table string_to_table to_tsquery websearch_to_tsquery
""")
FUNCTION_COLUMNS = {
    **dict.fromkeys(("json_each", "json_each_text", "jsonb_each", "jsonb_each_text"), _words("key value")),
    **dict.fromkeys(("json_array_elements", "json_array_elements_text"), _words("value")),
    **dict.fromkeys(("jsonb_array_elements", "jsonb_array_elements_text"), _words("value")),
}

# What depends on chance or on the clock. A time of day with a zone does: when summer begins, its offset changes.
FLEETING_FUNCTIONS = _words("""
    age array_sample array_shuffle clock_timestamp gen_random_uuid make_time now random random_normal
    statement_timestamp transaction_timestamp uuidv4 uuidv7
""")
FLEETING_TYPES = _words("time timetz")

# A text that grows step by step (|| in a recursion, string_agg) cannot be told from what analysts do. Its memory is not bounded
# here but by local/postgres.py, and on a managed server by nothing (docs/operations-runbook.md).
FUNCTIONS = AGGREGATES | NUMBERS | TEXTS | BYTES | TIMES | IDENTIFIERS | COLLECTIONS | RANGES | SEARCH | LIKENESS

# SQL's functions without parentheses. Not here: those that tell who or where the session is.
CURRENT = _words("""
    SVFOP_CURRENT_DATE SVFOP_CURRENT_TIME SVFOP_CURRENT_TIMESTAMP SVFOP_CURRENT_TIMESTAMP_N SVFOP_CURRENT_TIME_N
    SVFOP_LOCALTIME SVFOP_LOCALTIMESTAMP SVFOP_LOCALTIMESTAMP_N SVFOP_LOCALTIME_N
""")

# What PostgreSQL cannot stop, or what makes a gigabyte at once. The schema `bounded` has a function or an operator of ours for
# each of these names, which refuses arguments that are too large (sql/migrations, "bounded").
BOUNDED_FUNCTIONS = _words("""
    array_to_string btrim is_normalized jsonb_exists_all jsonb_exists_any lpad ltrim normalize phraseto_tsquery
    plainto_tsquery position regexp_replace repeat replace rpad rtrim split_part string_to_array string_to_table strpos
    to_tsquery translate ts_rank_cd websearch_to_tsquery
""")
BOUNDED_OPERATORS = _words("@> <@ && ?| ?& - @@")

# What to write instead of a name that is not listed.
INSTEAD = {
    "array_fill": "ARRAY(SELECT value FROM generate_series(1, n))",
    "bool_xor": "<>",
    "citext": "lower(text)",
    "crosstab": "sum(...) FILTER (WHERE ...)",
    "current_database": "nothing: there is one database",
    "dblink": "one query over the tables of this database",
    "dmetaphone": "similarity(a, b)",
    "hstore": "jsonb",
    "inet": "text",
    "json_populate_record": "json_to_record(value) AS t(column type, ...)",
    "json_populate_recordset": "json_to_recordset(value) AS t(column type, ...)",
    "jsonb_populate_record": "jsonb_to_record(value) AS t(column type, ...)",
    "jsonb_populate_recordset": "jsonb_to_recordset(value) AS t(column type, ...)",
    "levenshtein": "similarity(a, b)",
    "metaphone": "similarity(a, b)",
    "money": "numeric(20, 2)",
    "name": "text",
    "pg_column_size": "octet_length(value::text)",
    "pg_typeof": "jsonb_typeof(to_jsonb(value))",
    "quote_ident": "format('%I', value)",
    "quote_literal": "format('%L', value)",
    "quote_nullable": "format('%L', value)",
    "range_agg": "min(lower(range)) and max(upper(range)) by group, or array_agg(range)",
    "setseed": "md5(value) as an order that can be repeated",
    "soundex": "similarity(a, b)",
    "timeofday": "clock_timestamp()",
    "to_ascii": "translate(text, letters, others)",
    "unaccent": "translate(text, letters, others)",
    "uuid_generate_v4": "gen_random_uuid()",
    "xml": "jsonb",
    "xmlagg": "jsonb_agg(value)",
}
