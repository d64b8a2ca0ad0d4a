-- How often an address was registered while it waited for a decision.
ALTER TABLE users ADD COLUMN registrations integer NOT NULL DEFAULT 1;

-- Attempts at a password that began and have not ended, and until when they may: failures from then on.
ALTER TABLE throttles ADD COLUMN under_way integer NOT NULL DEFAULT 0;
ALTER TABLE throttles ADD COLUMN under_way_until bigint NOT NULL DEFAULT 0;
