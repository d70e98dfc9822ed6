-- What is wrong between the tables of a release, each as sentences.

-- name: observed
with p as (
    select date_trunc('month', timezone('America/Santiago', hora))::date as mes, codigo_comuna as serie,
        clientes_afectados as n
    from panel semi join (select hora from horas where cargada and not sospechosa) using (hora)
), sums as (
    select mes, serie, sum(n) as n from p where serie <> '' group by all
    union all select mes, 'CHILE', sum(n) from p group by all
), told as (
    select mes, codigo_comuna as serie, cliente_horas_observadas as n from indices_comunales
    union all
    select mes, nombre_region, cliente_horas_observadas from indices_regionales where nombre_region = 'CHILE'
)
select format('indices: {:,} customer-hours are not the sum of the panel.', count(*))
from told t full join sums s using (mes, serie) where coalesce(t.n, 0) <> coalesce(s.n, 0) having count(*) > 0

-- name: loaded
select format('panel: {:,} rows are of hours that are not loaded.', count(*))
from panel where hora not in (select hora from horas where cargada) having count(*) > 0

-- name: divided
with indices as (
    select 'indices_comunales' as tabla, saidi, cliente_horas, clientes from indices_comunales
    union all select 'indices_regionales', saidi, cliente_horas, clientes from indices_regionales
)
select format('{}: {:,} values of saidi are not cliente_horas over clientes.', tabla, count(*))
from indices where clientes > 0 and abs(saidi - cliente_horas / clientes) > 1e-6 + 1e-3 * abs(saidi) group by tabla
