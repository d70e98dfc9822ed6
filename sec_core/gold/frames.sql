-- What Gold reads from Silver, each under its name, and how it publishes a payload.

-- name: ledger
select hora, estado, forma, n_filas, n_revisiones, sospechosa, total_nacional, diferencia_nacional from capturas

-- name: places
select id_geografia, codigo_comuna, nombre_comuna, codigo_region, nombre_region from dim_geografia order by 1

-- name: companies
select id_empresa, nombre_empresa from dim_empresa order by 1

-- name: loads
select distinct on (c.hora) c.*, c.xmin::text as version, r.anfitrion, r.fuente, r.origen as origen_cuerpo
from cargas c left join revisiones r using (hora, capturado_en, sha256) order by c.hora, r.origen

-- name: answers
select * from revisiones where resultado = 'captured' order by hora, capturado_en, origen

-- name: customers
select mes, codigo_region, nombre_region, clientes, clientes_estimados, periodo_star
from clientes_regionales
left join (select distinct codigo_region, nombre_region from dim_geografia) as regiones using (codigo_region)
where nombre_region is not null or codigo_region = $1 order by mes, codigo_region

-- name: customer_answers
select distinct mes, capturado_en from clientes_regionales order by 1, 2

-- name: billed
select mes, codigo_comuna, clientes, concat('CNE, facturación de clientes regulados, ', to_char(mes, 'YYYY-MM'), ' (',
    archivo, ')') as fuente
from facturacion_comunal order by mes, codigo_comuna

-- name: imputation
select mes, regla, filas, total from calidad_imputacion order by mes, regla

-- name: projects
select * from proyectos_seia order by 1, 2

-- name: event_versions
select id_tiempo / 10000 as mes, count(*) as n, sum(xmin::text::bigint)::text as escrito
from fact_interrupciones group by 1

-- name: events
select {columns} from fact_interrupciones where id_tiempo / 10000 = any($1::int[])

-- name: captures
select distinct on (c.hora) c.hora, c.forma as cargada, c.capturado_en, c.sha256, r.clave, r.bytes, r.n_filas,
    r.clientes, r.forma, coalesce(r.origen, 'sec') as origen, r.anfitrion, r.fuente,
    case when r.clave is null then 'the ledger knows no body of what PostgreSQL has loaded' else r.motivo end motivo
from cargas c left join revisiones r using (hora, capturado_en, sha256)
where c.hora >= $1 and c.hora < $2 order by c.hora, origen

-- name: publish
insert into dashboard_stats (id, data, updated_at) values (:id, cast(:data as jsonb), :now)
on conflict (id) do update set data = excluded.data, updated_at = excluded.updated_at
-- `updated_at` moves only where the data did.
where dashboard_stats.data is distinct from excluded.data
