alter table capturas add column anfitrion text, add column fuente text;
comment on column capturas.anfitrion is 'Host that gave the hour''s value; null where it was not kept yet, or the value was imported.';
comment on column capturas.fuente is 'What the value''s source calls itself: simulator or replay, or the name of the imported file; null for none.';

alter table revisiones add column anfitrion text, add column fuente text;
comment on column revisiones.anfitrion is 'Host that answered; null where it was not kept yet, or the body was imported.';
comment on column revisiones.fuente is 'What the source calls itself: simulator or replay, or the name of the imported file; null for none.';
