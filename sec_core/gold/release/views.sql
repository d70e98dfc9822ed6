create view panel_completo as
select h.hora, c.codigo_comuna, h.cargada, h.sospechosa, h.forma,
    case when h.cargada then coalesce(p.clientes_afectados, 0) end as clientes_afectados
from horas h cross join comunas c left join panel p using (hora, codigo_comuna);
comment on view panel_completo is 'Every comuna and expected hour: customers out, 0 where the hour is loaded and does not list the comuna, NULL where it is not loaded.';

create view panel_chile as
select hora, timezone('America/Santiago', hora) as hora_chile, timezone('America/Santiago', hora)::date as dia,
    hour(timezone('America/Santiago', hora)) as hora_del_dia, isodow(timezone('America/Santiago', hora)) as dia_semana,
    codigo_comuna, clientes_afectados, forma
from panel;
comment on view panel_chile is 'The panel with the wall clock of Chile: hora_chile, dia, hora_del_dia (0 to 23) and dia_semana (1 is Monday).';

create view comuna_dias as
with vistas as (
    select hora, timezone('America/Santiago', hora)::date as dia, cargada and not sospechosa as vista from horas
), dias as (
    select dia, date_trunc('month', dia)::date as mes, count(*) as horas, count(*) filter (vista) as horas_vistas
    from vistas group by all
), sumas as (
    select v.dia, v.mes, p.codigo_comuna, sum(p.clientes_afectados)::bigint as cliente_horas,
        max(p.clientes_afectados) as clientes_punta,
        count(*) filter (p.clientes_afectados >= 0.01 * i.clientes) as horas_1pct
    from (select *, date_trunc('month', dia)::date as mes from vistas where vista) v
    join panel p using (hora)
    left join indices_comunales i using (mes, codigo_comuna)
    group by all
)
select d.dia, c.codigo_comuna, d.horas, d.horas_vistas, i.clientes,
    case when d.horas_vistas > 0 then coalesce(s.cliente_horas, 0) end as cliente_horas_vistas,
    case when d.horas_vistas > 0 then coalesce(s.clientes_punta, 0) end as clientes_punta,
    case when d.horas_vistas > 0 then coalesce(s.horas_1pct, 0) end as horas_1pct
from dias d cross join comunas c
left join sumas s using (dia, codigo_comuna)
left join indices_comunales i on i.mes = d.mes and i.codigo_comuna = c.codigo_comuna;
comment on view comuna_dias is 'Every comuna and day in Chile: hours expected and seen (loaded, not suspect), customer-hours seen, most customers out, and the hours seen with 1% of its customers out or more. NULL where nothing of the day was seen.';

create view duraciones as
select hash_id, forma, codigo_region, codigo_comuna, nombre_comuna, nombre_empresa, inicio, primera_hora, ultima_hora,
    date_diff('hour', primera_hora, ultima_hora) + 1 as horas, fin is null as abierta, censurado,
    fin is null or censurado is not null as es_cota_inferior, horas_sin_datos, clientes_afectados, cliente_horas
from golden_interrupciones;
comment on view duraciones is 'Events with their duration in hours, from the first hour seen to the last; where es_cota_inferior it is a lower bound: open, or an end in a gap.';
