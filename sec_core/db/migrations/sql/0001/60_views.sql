-- Views for people and the live dashboard. Windows end at the newest loaded hour, not at today's date.

create view v_interrupciones as
select
    e.hash_id, e.forma, g.codigo_region, g.nombre_region, g.codigo_comuna, g.nombre_comuna, m.nombre_empresa,
    e.id_tiempo, e.inicio, e.fin, e.clientes_afectados, e.clientes_afectados_crudo, e.hora_maximo, e.cliente_horas,
    e.n_observaciones, e.imputaciones, e.topado, e.primera_hora, e.ultima_hora, e.meses_denominador
from fact_interrupciones e
join dim_geografia g using (id_geografia)
join dim_empresa m using (id_empresa);
comment on view v_interrupciones is 'Events with the names of their place and company.';

create view v_interrupciones_30d as
select v.*
from v_interrupciones v
where coalesce(v.fin, 'infinity') > (select max(hora) from cargas) + interval '1 hour' - interval '30 days';
comment on view v_interrupciones_30d is 'Events alive at any time in the 30 days that end with the newest loaded hour.';

create view v_afectacion_horaria_30d as
with ventana as (
    select c.hora, c.forma
    from cargas c
    where c.hora > (select max(hora) from cargas) - interval '30 days'
), observado as (
    select o.hora, g.codigo_region, sum(o.clientes_afectados)::bigint as clientes_afectados
    from fact_observaciones o
    join dim_geografia g using (id_geografia)
    where o.hora > (select max(hora) from cargas) - interval '30 days'
    group by 1, 2
)
select
    v.hora, v.forma, r.codigo_region, r.nombre_region, coalesce(o.clientes_afectados, 0) as clientes_afectados
from ventana v
cross join (select distinct codigo_region, nombre_region from dim_geografia) r
left join observado o on o.hora = v.hora and o.codigo_region = r.codigo_region;
comment on view v_afectacion_horaria_30d is 'Customers affected by hour and region in the 30 days that end with the newest loaded hour. A loaded hour has a row for every region, 0 included; an hour without data has none.';

create view v_nombres_no_resueltos as
select
    tipo, nombre_region, nombre, sum(n_filas)::bigint as n_filas, count(*) as n_horas,
    min(hora) as primera_hora, max(hora) as ultima_hora
from nombres_no_resueltos
group by tipo, nombre_region, nombre;
comment on view v_nombres_no_resueltos is 'Unresolved spellings with how often they occur, and the first and last hour as examples.';

-- A view's column says what the table's column of that name says; the others are explained here.
do $$
declare
    columna record;
begin
    for columna in
        select v.relname as vista, a.attname as nombre, a.attnum as numero,
            (select col_description(t.oid, b.attnum)
             from unnest(array['fact_interrupciones', 'dim_geografia', 'dim_empresa', 'nombres_no_resueltos', 'cargas',
                               'fact_observaciones']) with ordinality as origen(tabla, orden)
             join pg_class t on t.oid = to_regclass('public.' || origen.tabla)
             join pg_attribute b on b.attrelid = t.oid and b.attname = a.attname and b.attnum > 0
             order by origen.orden limit 1) as texto
        from pg_class v
        join pg_attribute a on a.attrelid = v.oid and a.attnum > 0
        where v.relkind = 'v' and v.relnamespace = 'public'::regnamespace
    loop
        if columna.texto is not null then
            execute format('comment on column public.%I.%I is %L', columna.vista, columna.nombre, columna.texto);
        end if;
    end loop;
end
$$;
comment on column v_afectacion_horaria_30d.clientes_afectados is 'Customers without supply in the region in that hour.';
comment on column v_nombres_no_resueltos.n_filas is 'Source rows with it, in all hours.';
comment on column v_nombres_no_resueltos.n_horas is 'Hours with it.';
comment on column v_nombres_no_resueltos.primera_hora is 'First hour with it, instant.';
comment on column v_nombres_no_resueltos.ultima_hora is 'Last hour with it, instant.';
