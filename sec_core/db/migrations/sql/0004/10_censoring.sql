-- What gaps hide of events.

alter table fact_interrupciones
    add column censurado text check (censurado in ('inicio', 'fin', 'inicio,fin')),
    add column horas_sin_datos integer not null default 0;
comment on column fact_interrupciones.censurado is 'Which end gaps may hide: inicio (the hour before primera_hora has no data), fin (the hour after ultima_hora has none), or inicio,fin. Null for none.';
comment on column fact_interrupciones.horas_sin_datos is 'Hours without data between primera_hora and ultima_hora. For aggregated events the hours of detailed days are among them, for detailed events aggregated hours.';
-- Events that last longer than a month are few; the others end within one of an hour that they touch.
create index fact_interrupciones_largas on fact_interrupciones (ultima_hora)
    where ultima_hora - primera_hora > interval '31 days';

-- Events of before. Source hours: all but the second occurrence of April's repeated hour.
create temporary table horas_fuente on commit drop as
select hora, row_number() over (order by hora) as indice
from generate_series(
    (select min(primera_hora) - interval '2 hours' from fact_interrupciones),
    (select max(ultima_hora) + interval '2 hours' from fact_interrupciones),
    interval '1 hour'
) as hora
where hora at time zone 'America/Santiago' <> (hora - interval '1 hour') at time zone 'America/Santiago';
create unique index on horas_fuente (hora);

create temporary table horas_utiles on commit drop as
with dias as (
    select (hora at time zone 'America/Santiago')::date as dia, bool_or(forma = 'detailed') as detallado
    from cargas group by 1
)
select c.forma, f.indice, row_number() over (partition by c.forma order by f.indice) as orden
from cargas c
join horas_fuente f using (hora)
join dias d on d.dia = (c.hora at time zone 'America/Santiago')::date
where c.forma = 'detailed' or not d.detallado;
create unique index on horas_utiles (forma, indice);

update fact_interrupciones e
set censurado = nullif(concat_ws(',', v.inicio, v.fin), ''), horas_sin_datos = v.sin_datos
from (
    select
        e.hash_id,
        case when antes.indice is null then 'inicio' end as inicio,
        case when despues.indice is null then 'fin' end as fin,
        (ultima.indice - primera.indice) - (visto_ultima.orden - visto_primera.orden) as sin_datos
    from fact_interrupciones e
    join horas_fuente primera on primera.hora = e.primera_hora
    join horas_fuente ultima on ultima.hora = e.ultima_hora
    join horas_utiles visto_primera on visto_primera.forma = e.forma and visto_primera.indice = primera.indice
    join horas_utiles visto_ultima on visto_ultima.forma = e.forma and visto_ultima.indice = ultima.indice
    left join horas_utiles antes on antes.forma = e.forma and antes.indice = primera.indice - 1
    left join horas_utiles despues on despues.forma = e.forma and despues.indice = ultima.indice + 1
) v
where v.hash_id = e.hash_id;

create or replace view v_interrupciones as
select
    e.hash_id, e.forma, g.codigo_region, g.nombre_region, g.codigo_comuna, g.nombre_comuna, m.nombre_empresa,
    e.id_tiempo, e.inicio, e.fin, e.clientes_afectados, e.clientes_afectados_crudo, e.hora_maximo, e.cliente_horas,
    e.n_observaciones, e.imputaciones, e.topado, e.primera_hora, e.ultima_hora, e.meses_denominador,
    e.censurado, e.horas_sin_datos
from fact_interrupciones e
join dim_geografia g using (id_geografia)
join dim_empresa m using (id_empresa);
comment on column v_interrupciones.censurado is 'Which end gaps may hide: inicio, fin, or inicio,fin. Null for none.';
comment on column v_interrupciones.horas_sin_datos is 'Hours without data between primera_hora and ultima_hora.';
