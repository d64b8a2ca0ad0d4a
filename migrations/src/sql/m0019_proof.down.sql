ALTER TABLE throttles DROP COLUMN under_way_until;
ALTER TABLE throttles DROP COLUMN under_way;
ALTER TABLE users DROP COLUMN registrations;
