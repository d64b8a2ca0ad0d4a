
DROP INDEX service_accounts_search;
