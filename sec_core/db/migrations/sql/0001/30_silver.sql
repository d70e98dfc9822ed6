-- Silver: what was observed, and the events that follow from it.

create table cargas (
    hora            timestamptz primary key,
    forma           text not null check (forma in ('detailed', 'aggregated')),
    capturado_en    timestamptz not null,
    sha256          text not null,
    n_filas         integer not null,
    n_observaciones integer not null,
    clientes        bigint not null,
    filas_clientes  integer not null default 0,
    filas_geografia integer not null default 0,
    filas_empresa   integer not null default 0,
    filas_fecha     integer not null default 0
);
comment on table cargas is 'Which captured body of each hour is in fact_observaciones. Holds no time of loading: the same captures give the same rows.';
comment on column cargas.hora is 'Instant at which the hour begins.';
comment on column cargas.forma is 'Shape of the loaded body: detailed or aggregated.';
comment on column cargas.capturado_en is 'When the loaded body was received; with hora it names the revision.';
comment on column cargas.sha256 is 'SHA-256 of the loaded body, hexadecimal.';
comment on column cargas.n_filas is 'Rows in the body; all are represented in observations.';
comment on column cargas.n_observaciones is 'Rows of fact_observaciones that they became.';
comment on column cargas.clientes is 'Customers affected, sum over the observations.';
comment on column cargas.filas_clientes is 'Source rows whose CLIENTES_AFECTADOS was imputed to 0.';
comment on column cargas.filas_geografia is 'Source rows whose place was imputed to UNKNOWN.';
comment on column cargas.filas_empresa is 'Source rows whose company was imputed to UNKNOWN.';
comment on column cargas.filas_fecha is 'Source rows whose start date was imputed to the observed hour''s date.';

create table fact_observaciones (
    hora               timestamptz not null,
    id_geografia       smallint not null,
    id_empresa         smallint not null,
    fecha_inicio       date,
    clientes_afectados bigint not null check (clientes_afectados >= 0),
    n_filas            integer not null,
    imputaciones       smallint not null default 0,
    unique nulls not distinct (hora, id_geografia, id_empresa, fecha_inicio)
) partition by range (hora);
comment on table fact_observaciones is 'What the source showed: a row for each hour, place, company and (detailed) start date; source rows that share these are summed. Partitioned by Chilean month. A comuna absent from a loaded hour has 0.';
comment on column fact_observaciones.hora is 'Instant at which the observed hour begins.';
comment on column fact_observaciones.id_geografia is 'Place, see dim_geografia. No foreign key: rows are written in bulk, from the same reference file.';
comment on column fact_observaciones.id_empresa is 'Company, see dim_empresa. No foreign key, as above.';
comment on column fact_observaciones.fecha_inicio is 'Day on which the outage began, wall clock of America/Santiago; null in the aggregated shape.';
comment on column fact_observaciones.clientes_afectados is 'Customers without supply, sum of the source rows.';
comment on column fact_observaciones.n_filas is 'Source rows summed here.';
comment on column fact_observaciones.imputaciones is 'Union of the imputation bits of these rows; the bits are documented in sec_core/silver/imputation.py.';

-- A partition is made aside and then attached: readers of other months are not kept waiting. Its index is made when it
-- is attached: a load fills it before, which costs half of filling it with the index in place.
create function preparar_particion(mes date) returns boolean language plpgsql as $$
declare
    primero date := date_trunc('month', mes)::date;
    nombre  text := 'fact_observaciones_' || to_char(primero, 'YYYYMM');
begin
    if exists (select from pg_inherits where inhrelid = to_regclass('public.' || nombre)) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('asegurar_particion'));
    if exists (select from pg_inherits where inhrelid = to_regclass('public.' || nombre)) then
        return false;
    end if;
    execute format('create table public.%I (like public.fact_observaciones including all excluding indexes)', nombre);
    execute format('comment on table public.%I is %L', nombre,
        'Partition of fact_observaciones: the Chilean month ' || to_char(primero, 'YYYY-MM') || '.');
    return true;
end
$$;
comment on function preparar_particion(date) is 'Makes the table for the Chilean month of a date, without index and not yet part of fact_observaciones, and says whether it did: not where the partition exists. To be followed by unir_particion in the same transaction.';

create function unir_particion(mes date) returns void language plpgsql as $$
declare
    primero date := date_trunc('month', mes)::date;
begin
    execute format('alter table public.fact_observaciones attach partition public.%I for values from (%L) to (%L)',
        'fact_observaciones_' || to_char(primero, 'YYYYMM'),
        primero::timestamp at time zone 'America/Santiago',
        (primero + interval '1 month')::timestamp at time zone 'America/Santiago');
end
$$;
comment on function unir_particion(date) is 'Makes the table of preparar_particion a partition of fact_observaciones, with its index.';

create function asegurar_particion(mes date) returns void language plpgsql as $$
begin
    if preparar_particion(mes) then
        perform unir_particion(mes);
    end if;
end
$$;
comment on function asegurar_particion(date) is 'Makes the partition of fact_observaciones for the Chilean month of a date unless it exists; safe from several sessions at once.';

create table tramos (
    mes             date not null check (extract(day from mes) = 1),
    forma           text not null check (forma in ('detailed', 'aggregated')),
    id_geografia    smallint not null,
    id_empresa      smallint not null,
    fecha_inicio    date,
    primera_hora    timestamptz,
    ultima_hora     timestamptz,
    hora_maximo     timestamptz,
    maximo          bigint,
    cliente_horas   bigint,
    n_observaciones integer,
    imputaciones    smallint,
    previo_cliente_horas   bigint not null default 0,
    previo_n_observaciones integer not null default 0,
    previo_imputaciones    smallint not null default 0,
    -- The shape needs no place in the key: only detailed stretches have a start date.
    unique nulls not distinct (mes, id_geografia, id_empresa, fecha_inicio, primera_hora),
    check ((forma = 'detailed') = (fecha_inicio is not null)),
    check (num_nulls(primera_hora, ultima_hora, hora_maximo, maximo, cliente_horas, n_observaciones, imputaciones) in (0, 7))
);
create index tramos_fecha on tramos (fecha_inicio, id_geografia, id_empresa) where fecha_inicio is not null;
comment on table tramos is 'Stretches: the part of an event that lies inside one Chilean month, with sums that can be merged. Events are derived from these alone.';
comment on column tramos.mes is 'First day of the month, wall clock of America/Santiago.';
comment on column tramos.forma is 'Which rule made it: detailed or aggregated.';
comment on column tramos.id_geografia is 'Place, see dim_geografia.';
comment on column tramos.id_empresa is 'Company, see dim_empresa; always 1 (NO INFORMADA) for aggregated.';
comment on column tramos.fecha_inicio is 'Start day given by the source (detailed); null for aggregated.';
comment on column tramos.primera_hora is 'First hour of the event within the month, instant. Null in a row that only carries previo_ figures.';
comment on column tramos.ultima_hora is 'Last hour of the event within the month, instant.';
comment on column tramos.hora_maximo is 'First hour that reached maximo, instant.';
comment on column tramos.maximo is 'Customers affected at the highest hour.';
comment on column tramos.cliente_horas is 'Customer-hours: sum of the hourly values.';
comment on column tramos.n_observaciones is 'Captured hours that list it.';
comment on column tramos.imputaciones is 'Union of the imputation bits of its observations.';
comment on column tramos.previo_cliente_horas is 'Aggregated: customer-hours listed below the threshold between the stretch before and this one; of the event only if both stretches are. A row without hours carries what is listed after the month''s last stretch. 0 where it can belong to no event.';
comment on column tramos.previo_n_observaciones is 'Aggregated: captured hours that list it, in the same span as previo_cliente_horas.';
comment on column tramos.previo_imputaciones is 'Aggregated: union of imputation bits, in the same span as previo_cliente_horas.';

create table reglas (
    unica           boolean primary key default true check (unica),
    umbral          integer not null,
    horas_cierre    integer not null,
    horas_sin_datos integer not null
);
comment on table reglas is 'The settings with which aggregated events were derived, one row. A load with other settings derives all of them again.';
comment on column reglas.unica is 'Always true: there is one row.';
comment on column reglas.umbral is 'SEC_EVENT_THRESHOLD, customers.';
comment on column reglas.horas_cierre is 'SEC_EVENT_CLOSE_HOURS, captured hours.';
comment on column reglas.horas_sin_datos is 'SEC_EVENT_MAX_GAP_HOURS, hours.';

create table fact_interrupciones (
    hash_id                 uuid primary key,
    forma                   text not null check (forma in ('detailed', 'aggregated')),
    id_geografia            smallint not null,
    id_empresa              smallint not null,
    id_tiempo               integer not null,
    inicio                  timestamptz not null,
    fin                     timestamptz,
    clientes_afectados      bigint not null check (clientes_afectados >= 0),
    clientes_afectados_crudo bigint not null check (clientes_afectados_crudo >= clientes_afectados),
    hora_maximo             timestamptz not null,
    cliente_horas           bigint not null,
    n_observaciones         integer not null,
    imputaciones            smallint not null default 0,
    topado                  boolean not null default false,
    primera_hora            timestamptz not null,
    ultima_hora             timestamptz not null,
    meses_denominador       smallint
);
create index fact_interrupciones_inicio on fact_interrupciones (inicio);
create index fact_interrupciones_abiertas on fact_interrupciones (hash_id) where fin is null;
create index fact_interrupciones_ultima on fact_interrupciones (ultima_hora);
comment on table fact_interrupciones is 'Events: outages as one row each, always derived from observations.';
comment on column fact_interrupciones.hash_id is 'MD5 of codigo_comuna|nombre_empresa|inicio, inicio written YYYYMMDD (detailed) or YYYYMMDDTHH (aggregated), wall clock of America/Santiago; codigo_comuna is empty for UNKNOWN.';
comment on column fact_interrupciones.forma is 'Which rule made the event: detailed (comuna, company, start date) or aggregated (a comuna''s run of hours at or above the threshold).';
comment on column fact_interrupciones.id_geografia is 'Place, see dim_geografia. No foreign keys: they would take two thirds of the time of writing events, and all ids come from the reference files.';
comment on column fact_interrupciones.id_empresa is 'Company, see dim_empresa.';
comment on column fact_interrupciones.id_tiempo is 'Hour of inicio, see dim_tiempo.';
comment on column fact_interrupciones.inicio is 'Beginning, instant: detailed, the first instant of the start date in Chile; aggregated, the first hour at or above the threshold.';
comment on column fact_interrupciones.fin is 'End, instant: the hour after the last observation (detailed) or after the last hour at or above the threshold (aggregated). Null while open.';
comment on column fact_interrupciones.clientes_afectados is 'High-water mark of customers affected over the event''s life, capped at the region''s customers.';
comment on column fact_interrupciones.clientes_afectados_crudo is 'The high-water mark as reported, before the cap; customers.';
comment on column fact_interrupciones.hora_maximo is 'First hour that reached the high-water mark, instant.';
comment on column fact_interrupciones.cliente_horas is 'Customer-hours: sum of the hourly values over the captured hours from primera_hora to ultima_hora.';
comment on column fact_interrupciones.n_observaciones is 'Captured hours among these that list the event.';
comment on column fact_interrupciones.imputaciones is 'Union of the imputation bits of its observations; the bits are documented in sec_core/silver/imputation.py.';
comment on column fact_interrupciones.topado is 'Whether the high-water mark was capped.';
comment on column fact_interrupciones.primera_hora is 'First hour of the event, instant (aggregated: at or above the threshold).';
comment on column fact_interrupciones.ultima_hora is 'Last hour of the event, instant (aggregated: at or above the threshold).';
comment on column fact_interrupciones.meses_denominador is 'Months from the month of the customer figure used for the cap to that of hora_maximo; negative when the figure is the later one. Null where none was known.';

create table archivo (
    mes             date primary key check (extract(day from mes) = 1),
    clave           text not null,
    n_observaciones bigint not null,
    clientes        bigint not null,
    n_filas         bigint not null,
    sha256          text not null
);
comment on table archivo is 'Months whose observations are no longer in fact_observaciones but in a verified Parquet file below the archive''s folder.';
comment on column archivo.mes is 'First day of the month, wall clock of America/Santiago.';
comment on column archivo.clave is 'Path of the file below the archive''s folder.';
comment on column archivo.n_observaciones is 'Observations in the file.';
comment on column archivo.clientes is 'Customers affected, sum over these.';
comment on column archivo.n_filas is 'Source rows represented by these.';
comment on column archivo.sha256 is 'SHA-256 of the file, hexadecimal.';

create table clientes_regionales (
    mes                date not null check (extract(day from mes) = 1),
    codigo_region      text not null,
    clientes           bigint not null check (clientes >= 0),
    periodo_star       text,
    capturado_en       timestamptz not null,
    clientes_estimados bigint,
    primary key (mes, codigo_region)
);
comment on table clientes_regionales is 'Customers by region and month, as the source gave them. They can be years old, see periodo_star.';
comment on column clientes_regionales.mes is 'First day of the month for which the figure was captured, wall clock of America/Santiago.';
comment on column clientes_regionales.codigo_region is 'Official region code, two digits; 00 is the whole country.';
comment on column clientes_regionales.clientes is 'Customers, as answered.';
comment on column clientes_regionales.periodo_star is 'PERIODO_STAR of the answer, MMYYYY: the month that the figure describes by the source''s own word.';
comment on column clientes_regionales.capturado_en is 'When it was received.';
comment on column clientes_regionales.clientes_estimados is 'An estimate: clientes scaled so that the regions sum to the national figure. For indices, never for the cap.';

create table calidad_imputacion (
    mes   date not null check (extract(day from mes) = 1),
    regla text not null,
    filas bigint not null,
    total bigint not null,
    primary key (mes, regla)
);
comment on table calidad_imputacion is 'How often each imputation rule was needed, by month; computed anew with each load.';
comment on column calidad_imputacion.mes is 'First day of the month, wall clock of America/Santiago.';
comment on column calidad_imputacion.regla is 'The rule''s name, see sec_core/silver/imputation.py.';
comment on column calidad_imputacion.filas is 'Rows that the rule touched: source rows, for the cap events.';
comment on column calidad_imputacion.total is 'Rows of which these are a part: all source rows of the month, for the cap all its events.';

create table nombres_no_resueltos (
    hora          timestamptz not null,
    tipo          text not null,
    nombre_region text not null,
    nombre        text not null,
    n_filas       integer not null,
    primary key (hora, tipo, nombre_region, nombre)
);
create index nombres_no_resueltos_nombre on nombres_no_resueltos (tipo, nombre);
comment on table nombres_no_resueltos is 'Spellings that resolved to no place or company, by hour.';
comment on column nombres_no_resueltos.hora is 'Instant at which the hour begins.';
comment on column nombres_no_resueltos.tipo is 'What was to be resolved: comuna, region or empresa.';
comment on column nombres_no_resueltos.nombre_region is 'The region as the source wrote it, empty where it named none.';
comment on column nombres_no_resueltos.nombre is 'The spelling as the source wrote it, shortened when very long.';
comment on column nombres_no_resueltos.n_filas is 'Source rows with it.';
