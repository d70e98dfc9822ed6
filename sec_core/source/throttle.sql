-- The statements of sec_core.source.throttle, each under its name.

-- name: set_up
-- The server's own probes end the session soon after its host was lost without a word (a power cut). The pace may lose
-- its last moments when the server crashes; waiting for its disk would double the cost of a request.
set synchronous_commit = off;
set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3

-- name: take_slot
select n from unnest(%(free)s::int[]) as n where pg_try_advisory_lock(%(kind)s, n) limit 1

-- name: release
select pg_advisory_unlock(%(kind)s, %(number)s)

-- name: take_time
-- `clock_timestamp` and not `now`: the row may be waited for, and the clock is read when it is ours.
update ritmo_fuente r set proxima_en = make_interval(secs => %(step)s)
    + greatest(r.proxima_en, clock_timestamp() - make_interval(secs => %(late)s))
from circuito_fuente c
where r.fuente = 'sec' and c.fuente = 'sec' and greatest(r.proxima_en, r.pausa_hasta) <= clock_timestamp()
returning c.estado

-- name: wait
-- Before PostgreSQL 17 nothing can be subtracted from an infinite time.
select extract(epoch from greatest(proxima_en, pausa_hasta, clock_timestamp()) - clock_timestamp())::float8,
    pausa_hasta > clock_timestamp()
from ritmo_fuente where fuente = 'sec'

-- name: forget_times
update ritmo_fuente set proxima_en = clock_timestamp(), pausa_hasta = '-infinity'
where fuente = 'sec' and greatest(proxima_en, pausa_hasta) > clock_timestamp() + make_interval(secs => %(longest)s)

-- name: pause
update ritmo_fuente set pausa_hasta = greatest(pausa_hasta, clock_timestamp() + make_interval(secs => %(seconds)s))
where fuente = 'sec'

-- name: circuit
select estado, fallos_seguidos, abierto_en, reabre_en, prueba_hasta, prueba_de, codigo_error, ultimo_error, fallo_de
from circuito_fuente where fuente = 'sec'

-- name: lock_circuit
select fuente from circuito_fuente where fuente = 'sec' for update

-- name: set_circuit
update circuito_fuente set estado = %s, fallos_seguidos = %s, abierto_en = %s, reabre_en = %s, prueba_hasta = %s,
    prueba_de = %s, codigo_error = %s, ultimo_error = %s, fallo_de = %s
where fuente = 'sec'
