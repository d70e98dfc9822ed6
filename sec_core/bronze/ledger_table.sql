-- The questions of sec_core.bronze.ledger_table, each under its name.

-- name: values
select distinct on (c.hora) c.hora, r.capturado_en, r.forma, r.origen, r.clave, r.sha256, r.bytes, r.n_filas,
    r.clientes, r.anfitrion, r.fuente
from capturas c
join revisiones r on r.hora = c.hora and r.capturado_en = c.capturado_en and r.forma = c.forma and r.sha256 = c.sha256
where c.hora >= %s and c.hora < %s and c.estado = 'captured'
order by c.hora, r.origen

-- name: both_shapes
with newest as (
    select distinct on (hora, forma) hora, forma, clientes from revisiones where forma is not null
    order by hora, forma, capturado_en desc, origen desc
)
select d.hora, d.clientes as detailed, a.clientes as aggregated
from newest d join newest a on a.hora = d.hora and a.forma = 'aggregated'
where d.forma = 'detailed' order by d.hora

-- name: imported
select hora, capturado_en from revisiones
where origen = 'legacy' and not (resultado = 'quarantined' and coalesce(motivo, '') like %s)

-- name: quarantine
select * from revisiones where resultado = 'quarantined' and hora >= %s and hora < %s
order by hora, capturado_en, origen

-- name: revisions
select * from revisiones where hora = any(%s) order by hora, capturado_en, origen

-- name: rows
select * from capturas where hora = any(%s)

-- name: row_counts
select hora, n_filas from capturas where hora = any(%s) and forma is not null

-- name: states
select hora, estado from capturas where hora >= %s and hora < %s

-- name: newest_hour
select max(hora) as hora from capturas where estado = 'captured'

-- name: months
select distinct date_trunc('month', hora, 'America/Santiago') as mes from capturas

-- name: damaged
select hora from capturas where codigo_error = %s order by hora

-- name: summary
select
    count(*) filter (where estado = 'captured') as captured, count(*) filter (where estado = 'empty') as empty,
    count(*) filter (where estado = 'failed') as failed, count(*) filter (where estado = 'quarantined') as quarantined,
    count(*) filter (where codigo_error = 'dañado') as damaged, count(*) filter (where sospechosa) as suspect,
    count(*) filter (where diferencia_nacional <> 0) as differing,
    max(ultima_consulta) as last_asked, coalesce(sum(n_revisiones), 0)::bigint as revisions
from capturas where hora >= %s and hora < %s
