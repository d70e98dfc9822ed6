-- The statements of sec_core.silver.tables, each under its name. `{columns}` are those of the frame that is asked for.

-- name: loaded
select {columns} from cargas where hora >= $1 and hora < $2 order by hora

-- name: coverage
select hora, forma from cargas where hora >= $1 and hora < $2

-- name: history
select greatest((select max(hora) from cargas where hora < $2), (select max(hora) from cargas where hora >= $3)),
    exists (select from archivo where mes = $1), umbral::bigint, horas_cierre::bigint, horas_sin_datos::bigint
from (select) as una left join reglas on true

-- name: months_loaded
select distinct date_trunc('month', hora at time zone 'America/Santiago')::date as mes
from cargas where forma = $1 order by mes

-- name: prepare_partition
select preparar_particion($1::date) as nueva

-- name: index_partition
select 1 from (select indexar_particion($1::date)) as hecha

-- name: attach_partition
select 1 from (select unir_particion($1::date)) as hecha

-- name: partitions
select to_date(right(relname, 6), 'YYYYMM') as mes from pg_inherits join pg_class on pg_class.oid = inhrelid
where inhparent = 'public.fact_observaciones'::regclass order by mes

-- name: observations
select {columns} from fact_observaciones where hora >= $1 and hora < $2

-- name: observations_of
select {columns} from fact_observaciones
join unnest($1::smallint[], $2::smallint[], $3::date[]) as k(lugar, empresa, inicio)
    on id_geografia = lugar and id_empresa = empresa
    and coalesce(fecha_inicio, '-infinity') = coalesce(inicio, '-infinity')
where hora >= $4 and hora < $5

-- name: observations_at
-- The bounds let PostgreSQL look into one partition only.
select {columns} from fact_observaciones where hora >= $2 and hora <= $3 and hora = any($1::timestamptz[])

-- name: archived
select clave, n_observaciones::bigint, clientes::bigint, n_filas::bigint, sha256 from archivo where mes = $1

-- name: note_archived
insert into archivo (mes, clave, n_observaciones, clientes, n_filas, sha256) values ($1, $2, $3, $4, $5, $6)

-- name: refresh_quality
insert into calidad_imputacion (mes, regla, filas, total)
select $1::date, r.regla, r.filas, c.total
from (
    select sum(n_filas) as total, sum(filas_clientes) as clientes, sum(filas_geografia) as geografia,
        sum(filas_empresa) as empresa, sum(filas_fecha) as fecha
    from cargas where hora >= $2 and hora < $3
) as c
cross join lateral (values
    ('clientes', c.clientes), ('geografia', c.geografia), ('empresa', c.empresa), ('fecha', c.fecha)
) as r(regla, filas)
where c.total is not null

-- name: refresh_caps
insert into calidad_imputacion (mes, regla, filas, total)
select m, 'tope', count(*) filter (where topado), count(*)
from unnest($1::date[]) as m
join fact_interrupciones e on e.inicio >= m::timestamp at time zone 'America/Santiago'
    and e.inicio < (m + interval '1 month')::timestamp at time zone 'America/Santiago'
group by m

-- name: stretches
select {columns} from tramos where mes = $1

-- name: delete_stretches
delete from tramos t
using unnest($1::smallint[], $2::smallint[], $3::date[]) as k(id_geografia, id_empresa, fecha_inicio)
where t.mes = $4 and t.id_geografia = k.id_geografia and t.id_empresa = k.id_empresa
    and t.fecha_inicio is not distinct from k.fecha_inicio

-- name: stretches_begun
select {columns} from tramos where fecha_inicio between $1 and $2 and forma = 'detailed' and mes <> $3

-- name: stretches_of
select {columns} from tramos
join unnest($1::smallint[], $2::smallint[], $3::date[]) as k(id_geografia, id_empresa, fecha_inicio)
    using (id_geografia, id_empresa, fecha_inicio)
where forma = 'detailed' and mes <> $4

-- name: aggregated_near
select {columns} from tramos
where mes = $1 and forma = 'aggregated' and (cardinality($2::smallint[]) = 0 or id_geografia = any($2::smallint[]))
    and (primera_hora is null or id_geografia in (
        select id_geografia from tramos
        where mes = $1 and forma = 'aggregated' and ultima_hora >= $3 and primera_hora <= $4
    ))

-- name: events
select {columns} from fact_interrupciones where hash_id = any($1::text[]::uuid[])

-- name: events_near
-- An event that is not among the few long ones ends within a month of any hour that it touches.
select {columns} from fact_interrupciones
where primera_hora <= $2 and ultima_hora >= $1
    and (ultima_hora <= $2 + interval '32 days' or ultima_hora - primera_hora > interval '31 days')
union
select {columns} from fact_interrupciones where ultima_hora between $3 and $4 or ultima_hora between $5 and $6

-- name: delete_events
delete from fact_interrupciones where hash_id = any($1::text[]::uuid[])

-- name: ensure_calendar
select asegurar_tiempo(m) from (
    select make_date(n / 100, n % 100, 1) as m, n from unnest($1::integer[]) as n
) as meses
where not exists (select from dim_tiempo t where t.id_tiempo = n * 10000 + 112)

-- name: universe
select mes, codigo_region, clientes from clientes_regionales where codigo_region <> '00'

-- name: write_universe
insert into clientes_regionales as c (mes, codigo_region, clientes, periodo_star, capturado_en, clientes_estimados)
values ($1, $2, $3, nullif($4::text, ''), $5, nullif($6::bigint, -1))
on conflict (mes, codigo_region) do update
set (clientes, periodo_star, capturado_en, clientes_estimados)
    = (excluded.clientes, excluded.periodo_star, excluded.capturado_en, excluded.clientes_estimados)
where c.capturado_en <= excluded.capturado_en

-- name: write_rules
insert into reglas (umbral, horas_cierre, horas_sin_datos) values ($1, $2, $3)
on conflict (unica) do update set (umbral, horas_cierre, horas_sin_datos)
    = (excluded.umbral, excluded.horas_cierre, excluded.horas_sin_datos)
