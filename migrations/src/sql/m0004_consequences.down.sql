DROP TABLE answers;
DROP TABLE audit;
DROP TABLE outbox;
