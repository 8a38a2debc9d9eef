DROP TABLE jobs;
DROP TABLE activities;
DROP TABLE factors;
