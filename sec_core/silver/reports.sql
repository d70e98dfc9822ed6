-- The questions of sec_core.silver.reports, each under its name.

-- name: loaded
select count(*) as hours, coalesce(sum(n_filas), 0)::bigint as rows,
    coalesce(sum(n_observaciones), 0)::bigint as observations, coalesce(sum(clientes), 0)::bigint as customers
from cargas where hora >= :first and hora < :last

-- name: events
select count(*) as events, count(*) filter (where inicio >= :first and inicio < :last) as events_begun
from fact_interrupciones where primera_hora < :last and ultima_hora >= :first

-- name: imputed
select regla, filas from calidad_imputacion where mes = :month order by regla

-- name: unresolved_rows
select coalesce(sum(n_filas), 0)::bigint from nombres_no_resueltos
where hora >= :first and hora < :last and (nombre <> '' or nombre_region <> '')

-- name: unresolved
select tipo, nombre_region, nombre, sum(n_filas)::bigint, count(*), min(hora)
from nombres_no_resueltos group by 1, 2, 3 order by 4 desc, 1, 2, 3
