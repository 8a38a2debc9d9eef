//! Private PostgreSQL and Redis servers and a fault proxy, for tests.
