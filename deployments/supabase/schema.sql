-- The Supabase side of the publication: run it in the SQL editor of the project (or with psql as its owner).
-- Everybody may read, nobody but the service key may write. Applied again it gives the same rights.
-- The roles anon, authenticated and service_role are Supabase's own.

-- Payloads of the dashboard -----------------------------------------------------------------------------------------

create table if not exists public.dashboard_stats (
    id         text primary key,
    data       jsonb not null,
    updated_at timestamptz not null default now()
);
comment on table public.dashboard_stats is
    'Payloads that the public dashboard reads; its pages load the whole table. Written by publicar() alone, so that all rows of a publication carry the same updated_at.';
comment on column public.dashboard_stats.id is 'Name of the payload, for example market_map.';
comment on column public.dashboard_stats.data is 'A JSON list of objects; keys and types in payloads.schema.json.';
comment on column public.dashboard_stats.updated_at is 'When it was published.';

create table if not exists public.estadisticas (
    id         text primary key,
    data       jsonb not null,
    updated_at timestamptz not null default now()
);
comment on table public.estadisticas is
    'All other payloads, of the same form and of the same publication.';
comment on column public.estadisticas.id is 'Name of the payload, for example reliability.';
comment on column public.estadisticas.data is 'A JSON list of objects; keys and types in payloads.schema.json.';
comment on column public.estadisticas.updated_at is 'When it was published.';

-- One call is one transaction: no reader sees half of a publication.
create or replace function public.publicar(panel jsonb, otras jsonb, publicado timestamptz) returns integer
    language sql security invoker set search_path = ''
as $$
    -- Payloads that were the dashboard's in earlier versions.
    delete from public.dashboard_stats where id in (select jsonb_object_keys(otras));
    insert into public.dashboard_stats (id, data, updated_at)
        select key, value, publicado from jsonb_each(panel)
        on conflict (id) do update set data = excluded.data, updated_at = excluded.updated_at;
    insert into public.estadisticas (id, data, updated_at)
        select key, value, publicado from jsonb_each(otras)
        on conflict (id) do update set data = excluded.data, updated_at = excluded.updated_at;
    select count(*)::integer from (select jsonb_object_keys(panel || otras)) as payloads;
$$;
comment on function public.publicar(jsonb, jsonb, timestamptz) is
    'Writes a publication: objects of payloads by id, the dashboard''s and the others, and its time. Returns how many.';

-- Events of the last 30 days ----------------------------------------------------------------------------------------

create table if not exists public.interrupciones_recientes (
    hash_id            uuid primary key,
    forma              text not null check (forma in ('detailed', 'aggregated')),
    codigo_region      text not null,
    nombre_region      text not null,
    codigo_comuna      text not null,
    nombre_comuna      text not null,
    nombre_empresa     text not null,
    inicio             timestamptz not null,
    fin                timestamptz,
    clientes_afectados bigint not null check (clientes_afectados >= 0),
    cliente_horas      bigint not null check (cliente_horas >= 0),
    hora_maximo        timestamptz not null,
    primera_hora       timestamptz not null,
    ultima_hora        timestamptz not null,
    n_observaciones    integer not null,
    imputaciones       smallint not null,
    topado             boolean not null
);
create index if not exists interrupciones_recientes_ultima_hora
    on public.interrupciones_recientes (ultima_hora);
comment on table public.interrupciones_recientes is
    'Outage events seen in the 30 days that end with the newest loaded hour; computed from hourly snapshots of the SEC.';
comment on column public.interrupciones_recientes.hash_id is 'Identity of the event.';
comment on column public.interrupciones_recientes.forma is 'Rule that made it: detailed (company and start date) or aggregated.';
comment on column public.interrupciones_recientes.inicio is 'Beginning; detailed events have a start date but no start hour.';
comment on column public.interrupciones_recientes.fin is 'The hour after the last observation; null while it lasts.';
comment on column public.interrupciones_recientes.clientes_afectados is 'Customers affected: high-water mark.';
comment on column public.interrupciones_recientes.cliente_horas is 'Customer-hours over the captured hours.';
comment on column public.interrupciones_recientes.hora_maximo is 'First hour that reached the high-water mark.';
comment on column public.interrupciones_recientes.primera_hora is 'First hour observed.';
comment on column public.interrupciones_recientes.ultima_hora is 'Last hour observed.';
comment on column public.interrupciones_recientes.imputaciones is 'Bits of the imputation rules that touched it; 0 for none.';

-- Views for live analysis; they read with the rights of whoever asks ------------------------------------------------

create or replace view public.v_recientes_por_region with (security_invoker = true) as
select
    codigo_region,
    nombre_region,
    count(*)                                       as eventos,
    count(*) filter (where fin is null)            as eventos_abiertos,
    sum(clientes_afectados)::bigint                as clientes_afectados,
    max(clientes_afectados)                        as mayor_evento,
    sum(cliente_horas)::bigint                     as cliente_horas,
    max(ultima_hora)                               as ultima_hora
from public.interrupciones_recientes
group by codigo_region, nombre_region;
comment on view public.v_recientes_por_region is 'Events of the last 30 days by region.';

create or replace view public.v_recientes_por_hora with (security_invoker = true) as
select
    h.hora,
    e.codigo_region,
    e.nombre_region,
    count(*)                                       as eventos_vivos,
    count(*) filter (where e.primera_hora = h.hora) as eventos_nuevos,
    sum(e.clientes_afectados)::bigint              as clientes_maximos
from public.interrupciones_recientes e
cross join lateral generate_series(
    greatest(e.primera_hora, (select max(ultima_hora) - interval '30 days' from public.interrupciones_recientes)),
    e.ultima_hora,
    interval '1 hour'
) as h (hora)
group by h.hora, e.codigo_region, e.nombre_region;
comment on view public.v_recientes_por_hora is
    'Events alive in each hour of the last 30 days by region; clientes_maximos sums their high-water marks, an upper bound of the customers out in that hour.';

-- Rights: public read, no public write ------------------------------------------------------------------------------

alter table public.dashboard_stats enable row level security;
alter table public.estadisticas enable row level security;
alter table public.interrupciones_recientes enable row level security;

-- Whatever an older project left on our tables goes: its policies, and all rights of anybody but the owner and the
-- service key, those on single columns too. What a later `grant all` gives back, row level security still refuses.
do $$
declare
    name  text;
    other record;
begin
    foreach name in array array['dashboard_stats', 'estadisticas', 'interrupciones_recientes'] loop
        for other in
            select policyname from pg_policies
            where schemaname = 'public' and tablename = name
              and not (policyname = 'public read' and cmd = 'SELECT' and qual = 'true' and permissive = 'PERMISSIVE'
                       and roles = array['anon', 'authenticated']::name[])
        loop
            execute format('drop policy %I on public.%I', other.policyname, name);
        end loop;
        if not exists (select from pg_policies where schemaname = 'public' and tablename = name) then
            execute format('create policy "public read" on public.%I for select to anon, authenticated using (true)', name);
        end if;
    end loop;
    foreach name in array array[
        'dashboard_stats', 'estadisticas', 'interrupciones_recientes', 'v_recientes_por_region', 'v_recientes_por_hora'
    ] loop
        for other in
            select distinct coalesce(r.rolname, 'public') as grantee, r.oid is null as everybody
            from pg_class c
            cross join lateral (
                select a.grantee from aclexplode(c.relacl) a
                union
                select a.grantee from pg_attribute t cross join lateral aclexplode(t.attacl) a where t.attrelid = c.oid
            ) as rights
            left join pg_roles r on r.oid = rights.grantee
            where c.oid = format('public.%I', name)::regclass and rights.grantee <> c.relowner
        loop
            -- A right on the table takes those on its columns along.
            execute format(
                'revoke all on public.%I from %s cascade',
                name, case when other.everybody then 'public' else format('%I', other.grantee) end
            );
        end loop;
        execute format('grant select on public.%I to anon, authenticated', name);
        execute format('grant select, insert, update, delete on public.%I to service_role', name);
    end loop;
    revoke all on function public.publicar(jsonb, jsonb, timestamptz) from public, anon, authenticated;
    grant execute on function public.publicar(jsonb, jsonb, timestamptz) to service_role;
end
$$;

notify pgrst, 'reload schema';
